machine pages=16 pageblock_order=2
thread A
  alloc_range p0 8 8
thread B
  allocate p1
  free p1
