machine pages=1
map r0 anon 2
write r0:0
thread A
  write r0:1
