"""Checks a log with pymerkle, an RFC 6962 tree by others: reads {"lines", "roots", "inclusions"}, hashes in hexadecimal.
Its own roots must be the same and consistent with each other, its proofs of inclusion the same, and it must accept ours.
(Its proofs of consistency are longer than those of the RFC.) Writes how many it checked."""
import json, sys
from pymerkle import InmemoryTree, verify_consistency, verify_inclusion
log, tree, checked = json.load(sys.stdin), InmemoryTree(algorithm="sha256"), 0
tree.append_entries(line.encode() for line in log["lines"])
roots = {size: bytes.fromhex(root) for size, root in log["roots"]}
for size, root in roots.items():
    assert tree.get_state(size) == root, f"another root at size {size}"
    for later in (later for later in roots if later >= size):
        verify_consistency(root, roots[later], tree.prove_consistency(size, later), prior_size=size, later_size=later)
        checked += 1
for index, size, hashes in log["inclusions"]:
    proof, leaf = tree.prove_inclusion(index + 1, size), tree.get_leaf(index + 1)
    assert [digest.hex() for digest in proof.path] == [leaf.hex(), *hashes], f"another proof of {index} in {size}"
    proof.path = [leaf, *map(bytes.fromhex, hashes)]
    verify_inclusion(leaf, roots[size], proof, index=index + 1, size=size)
    checked += 1
print(checked)
