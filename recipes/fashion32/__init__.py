"""How the embedded fashion32 weights were made."""
