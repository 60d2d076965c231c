machine release=hook
movable m0 1
thread A
  isolate m0
  migrate m0 node=1
thread B
  try_get m0
  put m0
