-- Sends a key that was never sent before with each request. Arguments: the field's name, how keys begin.

local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

local before
local sent = 0

function init(arguments)
  before = string.format("GET / HTTP/1.1\r\nhost: api.test\r\n%s: %s-%d-", arguments[1], arguments[2], number)
end

function request()
  sent = sent + 1
  return before .. sent .. "\r\n\r\n"
end

-- The last line of the output, for flood.py.
function done(summary)
  local errors = summary.errors
  io.write(string.format('{"answers": %d, "refused": %d, "broken": %d}\n',
    summary.requests, errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
