map r0 anon 2 order=1
write r0
drain
thread A
  split r0:0
thread B
  try_get r0:1
  put r0:1
