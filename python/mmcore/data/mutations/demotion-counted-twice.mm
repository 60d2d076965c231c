map r0 anon 1
write r0
drain
thread A
  isolate r0
  migrate r0 node=1 reason=demotion
