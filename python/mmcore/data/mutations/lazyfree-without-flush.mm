map r0 anon 1
write r0
drain
thread A
  read r0
  madv r0 free
