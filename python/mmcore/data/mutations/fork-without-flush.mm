map r0 anon 1
write r0
thread A
  fork c0
  cread c0 r0
thread B
  write r0
