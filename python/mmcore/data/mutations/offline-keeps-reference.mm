map r0 anon 1
write r0
drain
thread A
  soft_offline r0
