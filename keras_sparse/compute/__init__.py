"""How a sparse kernel is multiplied.

Every path is a module with the same four functions over plain tensors, see `paths.Path`:

- `stock`: TensorFlow's sparse ops; the path of GPUs, of exported models and of very sparse or very large kernels.
- `dense`: the matrix is built for the moment of the product; only below `dispatch.DENSE_BYTES` or above half density.
- `generic`: `keras.ops` alone; the reference, and the path of other backends.
- `native`: own CPU kernels. Not built yet: a module `native/` with the same four functions goes here.

`dispatch.choose` decides, `product.matmul` makes the product differentiable, `recording` lets a policy see what
passes through the backward.
"""
