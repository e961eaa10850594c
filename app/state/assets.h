/// \file
/// Where the files that come with the program are.
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

namespace convscope {

/// The built-in example, as a name for find_asset.
inline constexpr std::string_view example_asset = "examples/smollm2-135m.safetensors";

/// The path of an asset, looked for in the folder that the environment variable CONVSCOPE_ASSETS names, then in
/// ../share/convscope/assets beside the program, then in the source tree the program was built from. Empty when it is nowhere.
std::optional<std::filesystem::path> find_asset(std::string_view name);

}  // namespace convscope
