/// \file
/// Files that the program keeps for its user: read with care, kept aside when broken, replaced in one step.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace convscope {

/// The whole file. Empty when it is no regular file, is longer than `largest` bytes or cannot be read. Never throws.
std::optional<std::string> read_user_file(const std::filesystem::path& path, std::uintmax_t largest);

/// Moves a file that is of no use to <path>.broken, in place of an older one. Returns what happened, for the end of a sentence:
/// "it was kept as layout.ini.broken". Never throws.
std::string keep_aside(const std::filesystem::path& path);

/// Replaces the file in one step, making its folder when needed. Throws FileError; the old file is then untouched.
void write_user_file(const std::filesystem::path& path, std::string_view text);

}  // namespace convscope
