"""What is sent, and when: arrivals, lengths, text, conversations, recorded traces.

corpora, hub -> prompts, retokenize (exact token counts)  |
arrivals, replay, lengths                                 |-> plan -> requests for the client
"""
