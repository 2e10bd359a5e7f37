"""HumanEval and HumanEval+: code generation, executed in the sandbox."""
