allocate p0
thread A
  lock p0
  unlock p0
thread B
  try_get p0
