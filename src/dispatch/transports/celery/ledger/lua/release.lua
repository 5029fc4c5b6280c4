-- owner: the sweeper that goes lets the next one in at once.

if redis.call('GET', root .. 'sweeper') == ARGV[1] then
  redis.call('DEL', root .. 'sweeper')
end
