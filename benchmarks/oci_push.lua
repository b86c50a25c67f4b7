-- Artifact pushes (layer of LAYER bytes, manifest by tag; the empty config is there): three requests each.
-- LAYERS is a file of lines "number digest"; the layer is the number, 16 digits wide, filled up with x.
local number = 0
local CONFIG = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
local OCI = "application/vnd.oci.image.manifest.v1+json"

function setup(thread)
  thread:set("id", number)
  number = number + 1
end

function init(args)
  size = tonumber(os.getenv("LAYER"))
  layers = {}
  local at = 0
  for line in io.lines(os.getenv("LAYERS")) do
    if at % 8 == id then layers[#layers + 1] = line end
    at = at + 1
  end
  step, at_layer, location = "start", 0, nil
end

local function manifest(digest)
  return '{"schemaVersion":2,"mediaType":"' .. OCI .. '","artifactType":"application/x.bench",'
    .. '"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"' .. CONFIG .. '","size":2},'
    .. '"layers":[{"mediaType":"application/octet-stream","digest":"' .. digest .. '","size":' .. size .. '}]}'
end

function request()
  local repository = "/v2/bench/artifact" .. id
  if step == "start" then
    at_layer = at_layer + 1
    return wrk.format("POST", repository .. "/blobs/uploads/", {["Content-Length"] = "0"}, "")
  end
  local text, digest = layers[at_layer]:match("(%S+) (%S+)")
  if step == "blob" then
    local mark = location:find("?", 1, true) and "&" or "?"
    local body = text .. string.rep("x", size - #text)
    return wrk.format("PUT", location .. mark .. "digest=" .. digest, {["Content-Type"] = "application/octet-stream"}, body)
  end
  return wrk.format("PUT", repository .. "/manifests/1.0." .. at_layer, {["Content-Type"] = OCI}, manifest(digest))
end

function response(status, headers, body)
  if step == "start" then
    location = (headers["Location"] or headers["location"]):gsub("^https?://[^/]+", "")
    step = "blob"
  elseif step == "blob" then
    step = "manifest"
  else
    step = "start"
  end
end
