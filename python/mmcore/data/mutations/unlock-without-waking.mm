allocate p0
lock p0
thread A
  unlock p0
thread B
  lock p0
  unlock p0
