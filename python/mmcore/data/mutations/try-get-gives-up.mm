allocate p0
thread A
  try_get p0
thread B
  get p0
