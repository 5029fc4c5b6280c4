-- id -> 1, or 0 when there is no such letter.

return forget_letter(ARGV[1])
