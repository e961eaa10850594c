/// \file
/// A picture in memory, and as a PNG file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace convscope {

/// 8-bit RGB, top row first, no padding.
struct Picture {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> rgb;

  const std::uint8_t* pixel(int x, int y) const {
    return rgb.data() + 3 * (static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x));
  }
};

/// Reads the whole colour of the framebuffer object that is bound for reading; width x height pixels of it.
Picture read_framebuffer(int width, int height);

/// What a PNG says about itself: keyword ("Description", "Software") and text, UTF-8.
using PictureTexts = std::vector<std::pair<std::string, std::string>>;

/// The bytes of a PNG file. Throws convbasis::Error.
std::string encode_png(const Picture& picture, const PictureTexts& texts = {});

/// Writes the file in one step. Throws convbasis::FileError; the target is then untouched.
void write_png(const std::filesystem::path& path, const Picture& picture);

}  // namespace convscope
