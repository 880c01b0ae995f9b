// The bindings of products: a matrix of some format, vectors, and the result y.

#import matmul/weights.wgsl
#import matmul/activations.wgsl
#import matmul/result.wgsl
