machine pages=2
map r0 anon 3
write r0:0-1
thread A
  write r0:2
