"""What a frame costs: this client beside the broker's own, other brokers' and bare libraries.

``python -m benchmarks`` runs everything; the extra ``bench`` brings the others.
"""
