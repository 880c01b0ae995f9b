// A matrix of some format, as products read it.

#import matrix/params.wgsl
#import matrix/fields.wgsl
#ifdef GRID
#import lib/grid.wgsl
#endif
#import format
