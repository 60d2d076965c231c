machine release=packed
movable m0 1
thread A
  isolate m0
  migrate m0 node=1
thread B
  release m0
