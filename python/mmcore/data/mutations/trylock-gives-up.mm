map r0 anon 1
write r0
thread A
  trylock r0
thread B
  get r0
