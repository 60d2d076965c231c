map r0 anon 1
write r0
thread A cpu=1
  drain cpu=0
