-- What wrk sends: arguments are the kind (register, login, get, patch) and a file with one token or name a line.

local kind, lines, sent, run = nil, {}, 0, ""

function init(arguments)
  kind = arguments[1]
  for line in io.lines(arguments[2]) do lines[#lines + 1] = line end
  local random = io.open("/dev/urandom", "rb")
  for letter in random:read(6):gmatch(".") do run = run .. string.format("%02x", letter:byte()) end
  random:close()
end

local function json(path, body)
  return wrk.format("POST", path, { ["Content-Type"] = "application/json" }, body)
end

function request()
  sent = sent + 1
  local line = lines[(sent - 1) % #lines + 1]
  if kind == "register" then
    local name = string.format("w%s_%d", run, sent)
    return json(nil, string.format('{"username":"%s","email":"%s@example.com","password":"%s"}', name, name, line))
  elseif kind == "login" then
    local name, password = line:match("(%S+) (.+)")
    return json(nil, string.format('{"username":"%s","password":"%s"}', name, password))
  end
  local headers = { ["Authorization"] = "Bearer " .. line }
  if kind == "patch" then
    headers["Content-Type"] = "application/json"
    return wrk.format("PATCH", nil, headers, string.format('{"first_name":"%s %d"}', run, sent))
  end
  return wrk.format("GET", nil, headers)
end

function done(summary, latency, requests)
  local errors = summary.errors
  print(string.format(
    '\n{"requests":%d,"microseconds":%d,"bad":%d,"p50":%d,"p99":%d}', summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
