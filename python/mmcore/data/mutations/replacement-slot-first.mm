map r0 file 1
write r0
drain
thread A
  move r0 node=1
thread B
  look cache r0
