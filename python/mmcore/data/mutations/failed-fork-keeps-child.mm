map r0 anon 1
write r0
map r1 anon 1
thread A
  fail no_memory nth=2
  fork c1
thread B
  read r0
