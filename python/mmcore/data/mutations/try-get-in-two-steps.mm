allocate p0
thread A
  free p0
thread B
  try_get p0
  put p0
