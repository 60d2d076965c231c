allocate p0
get p0
thread A
  put p0
thread B
  free p0
