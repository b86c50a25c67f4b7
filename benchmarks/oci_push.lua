-- Artifact pushes: a layer of LAYER bytes, and a manifest by tag. The empty config is there: three requests each; or
-- with a third word in each line of LAYERS a config of its own is pushed too: five requests each.
-- ROUND is in the names of the repositories. LAYERS is a file of lines "text digest [config's digest]"; the layer is
-- the text, 16 digits, filled up with x; the config is {"n":"<text>"}.
local number = 0
local CONFIG = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
local OCI = "application/vnd.oci.image.manifest.v1+json"

function setup(thread)
  thread:set("id", number)
  number = number + 1
end

function init(args)
  size = tonumber(os.getenv("LAYER"))
  round = os.getenv("ROUND") or "0"
  layers = {}
  local at = 0
  for line in io.lines(os.getenv("LAYERS")) do
    if at % 8 == id then layers[#layers + 1] = line end
    at = at + 1
  end
  step, at_layer, location = "start", 0, nil
end

local function config(text)
  return '{"n":"' .. text .. '"}'
end

local function manifest(digest, config_digest, config_size)
  return '{"schemaVersion":2,"mediaType":"' .. OCI .. '","artifactType":"application/x.bench",'
    .. '"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"' .. config_digest .. '","size":' .. config_size .. '},'
    .. '"layers":[{"mediaType":"application/octet-stream","digest":"' .. digest .. '","size":' .. size .. '}]}'
end

function request()
  local repository = "/v2/bench/artifact" .. round .. "-" .. id
  if step == "start" or step == "config start" then
    if step == "start" then at_layer = at_layer + 1 end
    return wrk.format("POST", repository .. "/blobs/uploads/", {["Content-Length"] = "0"}, "")
  end
  local text, digest, own = layers[at_layer]:match("(%S+) (%S+) ?(%S*)")
  with_config = own ~= ""
  if step == "blob" or step == "config" then
    local mark = location:find("?", 1, true) and "&" or "?"
    local body = text .. string.rep("x", size - #text)
    if step == "config" then body, digest = config(text), own end
    return wrk.format("PUT", location .. mark .. "digest=" .. digest, {["Content-Type"] = "application/octet-stream"}, body)
  end
  return wrk.format("PUT", repository .. "/manifests/1.0." .. at_layer, {["Content-Type"] = OCI}, manifest(digest, with_config and own or CONFIG, with_config and #config(text) or 2))
end

function response(status, headers, body)
  if step == "start" then
    location = (headers["Location"] or headers["location"]):gsub("^https?://[^/]+", "")
    step = "blob"
  elseif step == "config start" then
    location = (headers["Location"] or headers["location"]):gsub("^https?://[^/]+", "")
    step = "config"
  elseif step == "blob" and with_config then
    step = "config start"
  elseif step == "blob" or step == "config" then
    step = "manifest"
  else
    step = "start"
  end
end
