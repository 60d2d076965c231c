map r0 anon 1
write r0
thread A
  fork c0
  write r0
  cread c0 r0
