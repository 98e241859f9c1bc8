"""How a sparse kernel is multiplied.

Every path is a module with the same functions over plain tensors, see `paths.Path`:

- `native`: own CPU kernels in C++; the path of CPUs, see native/README.md. `native.dense` builds the matrix, and
  `native.adaptive` decides at run time between the two, for kernels that are nearly full.
- `stock`: TensorFlow's sparse ops; the path of GPUs, of exported models and where native kernels are absent.
- `dense`: the matrix is built for the moment of the product; only below `dispatch.DENSE_BYTES` or above half density.
- `generic`: `keras.ops` alone; the reference, and a path of every backend.

On Keras' other backends `dense` is `generic_dense`, and `stock` is PyTorch's torch.sparse, `torch_stock`.

Convolutions take the same paths: `taps` makes one of the products of `stock` and `generic`, `dense` builds the kernel
for the backend's convolution, and `native.convolution` has kernels of its own.

`dispatch.choose` decides, `product.Product` makes the product differentiable, `recording` lets a policy see what
passes through the backward.
"""
