map r0 anon 1
thread A
  unmap r0
thread B
  write r0
