map r0 anon 1
write r0
thread A
  fork c0
thread B
  look rmap r0
