#include "cli/safetensors_bytes.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

namespace convscope::testing {
namespace {

std::string little_endian(std::uint64_t value, int bytes) {
  std::string text;
  for (int byte = 0; byte < bytes; ++byte) text.push_back(static_cast<char>((value >> (8 * byte)) & 0xff));
  return text;
}

std::array<std::array<Index, 3>, 3> shapes(const Activations& file) {
  const Index key_n = file.key_n == 0 ? file.n : file.key_n;
  return {{{file.heads, file.n, file.d}, {file.kv_heads, key_n, file.d}, {file.kv_heads, file.n, file.d}}};
}

}  // namespace

std::string with_header(const std::string& header, const std::string& payload) {
  return little_endian(header.size(), 8) + header + payload;
}

std::string float_bytes(const std::vector<float>& values) {
  std::string text;
  for (const float value : values) text += little_endian(std::bit_cast<std::uint32_t>(value), 4);
  return text;
}

nlohmann::ordered_json Activations::header() const {
  nlohmann::ordered_json header;
  if (!metadata.empty()) header["__metadata__"] = metadata;
  Index offset = 0;
  constexpr std::array names = {"layers.0.q", "layers.0.k", "layers.0.v"};
  const auto all = shapes(*this);
  for (std::size_t tensor = 0; tensor < names.size(); ++tensor) {
    const Index bytes = 4 * all[tensor][0] * all[tensor][1] * all[tensor][2];
    header[names[tensor]] = {{"dtype", dtype}, {"shape", all[tensor]}, {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  return header;
}

std::string Activations::payload() const {
  std::string text;
  for (const auto& shape : shapes(*this)) {
    std::vector<float> values(static_cast<std::size_t>(shape[0] * shape[1] * shape[2]));
    for (std::size_t at = 0; at < values.size(); ++at) values[at] = std::sin(static_cast<float>(at * at % 97 + text.size()));
    if (text.empty()) values.back() = one_value;
    text += float_bytes(values);
  }
  return text;
}

std::string Activations::bytes() const { return with_header(header().dump(), payload()); }

}  // namespace convscope::testing
