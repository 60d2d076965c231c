allocate p0
thread A
  freeze p0 refs=1
  unfreeze p0 refs=1
thread B
  try_get p0
