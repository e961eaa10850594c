/// \file
/// safetensors files as bytes, good ones and ones that break a rule.
#pragma once

#include "core/types.h"

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace convscope::testing {

using convbasis::Index;

/// A file with any header text: its length as 8 little-endian bytes, the text, the payload.
std::string with_header(const std::string& header, const std::string& payload);

/// The bytes of float32 numbers.
std::string float_bytes(const std::vector<float>& values);

/// Activations of one layer: layers.0.{q,k,v} of shape (heads, n, d) in float32 with varied small values.
struct Activations {
  Index heads = 2, kv_heads = 1, n = 12, d = 4;
  Index key_n = 0;          ///< tokens of the key; 0: n
  float one_value = 0.25F;  ///< of the last number of q, such as NaN
  std::string dtype = "F32";
  nlohmann::json metadata = nlohmann::json::object();

  std::string bytes() const;
  nlohmann::ordered_json header() const;
  std::string payload() const;
};

}  // namespace convscope::testing
