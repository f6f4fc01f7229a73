"""LoRA of a diffusion model's UNet: every form in which trainers save it, brought to PEFT's."""
