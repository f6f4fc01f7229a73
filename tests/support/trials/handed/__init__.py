"""What other tools do with what is handed over, by their own libraries: run by the interpreter of .handover/venv."""
