map r0 anon 1
write r0
fork c0
thread A
  write r0
  cread c0 r0
