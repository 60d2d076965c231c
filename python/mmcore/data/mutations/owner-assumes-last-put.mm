movable m0 1
thread A
  release m0
thread B
  try_get m0
