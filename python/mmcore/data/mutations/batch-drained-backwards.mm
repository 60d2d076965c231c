map r0 anon 2
write r0
thread A
  drain
