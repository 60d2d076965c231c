map r0 anon 2
write r0
pin g0 r0 longterm
thread A
  move r0 node=1
