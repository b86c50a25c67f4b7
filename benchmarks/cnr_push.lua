-- CNR pushes from a file of lines "package release base64": thread i takes lines i, i+8, i+16, ...; FIRST is the first i
local number = tonumber(os.getenv("FIRST") or "0")

function setup(thread)
  thread:set("id", number)
  number = number + 1
end

function init(args)
  pushes = {}
  local at = 0
  for line in io.lines(os.getenv("PUSHES")) do
    if at % 8 == id then pushes[#pushes + 1] = line end
    at = at + 1
  end
  next_push = 0
end

function request()
  next_push = next_push + 1
  local package, release, blob = pushes[next_push]:match("(%S+) (%S+) (%S+)")
  local body = '{"release":"' .. release .. '","media_type":"helm","blob":"' .. blob .. '"}'
  return wrk.format("POST", "/api/v1/packages/" .. package, {["Content-Type"] = "application/json"}, body)
end
