map r0 anon 1
write r0
madv r0 free
drain
thread A
  write r0
thread B
  madv r0 pageout
