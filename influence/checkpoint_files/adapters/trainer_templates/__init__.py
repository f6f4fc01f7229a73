"""Templates by which LLaMA-Factory and ms-swift write conversations: their own, not the tokenizer's.

Both take a template by its name and write each turn by it, whatever chat template lies beside the tokenizer. `known`
has those that are told here, as the trainers' sources have them (`data/template.py` of LLaMA-Factory,
`swift/llm/template` and `swift/template` of ms-swift); of others only the name is known.
"""
