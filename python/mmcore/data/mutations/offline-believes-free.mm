allocate p0
free p0
thread A
  soft_offline p0
thread B
  allocate p1
