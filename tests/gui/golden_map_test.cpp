// What the maps of a small planted head look like, against pictures that somebody has looked at: tests/data/golden. Only the map
// itself, without text, so that no font and no theme is in it. CONVSCOPE_UPDATE_GOLDEN=1 writes the pictures anew; look at them
// before they are committed.

#include "gl/map_renderer.h"
#include "gui/support/png_file.h"
#include "view/map_tiling.h"

#include "analysis/head_analysis.h"
#include "data/planted.h"

#include <GLFW/glfw3.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace convscope {
namespace {

using convbasis::Index;
using convbasis::MapKind;
using convbasis::MapQuantity;

constexpr int side = 256;
constexpr Index n = 200;
/// Of a byte: rounding of the table, of the blend, and of the driver's logarithm.
constexpr int channel_tolerance = 2;
/// Of the pixels: those on an edge between two cells may fall to either side.
constexpr double pixels_that_may_differ = 0.001;
constexpr Rgb masked_dark{0.11F, 0.12F, 0.14F};
constexpr Rgb masked_light{0.91F, 0.91F, 0.92F};
constexpr Rgb not_a_number{1.0F, 0.0F, 1.0F};

struct Golden {
  const char* name;
  MapKind kind;
  MapQuantity quantity;
  ColourScale scale;
  ColourMap colours;
  Rgb masked;
  CellWindow window;
};

void PrintTo(const Golden& golden, std::ostream* stream) { *stream << golden.name; }

class GoldenMap : public testing::TestWithParam<Golden> {
 protected:
  static void SetUpTestSuite() {
    ASSERT_TRUE(glfwInit()) << "no display";
    glfwWindowHint(GLFW_VISIBLE, GLFW_FALSE);
    glfwWindowHint(GLFW_CONTEXT_VERSION_MAJOR, 3);
    glfwWindowHint(GLFW_CONTEXT_VERSION_MINOR, 3);
    glfwWindowHint(GLFW_OPENGL_PROFILE, GLFW_OPENGL_CORE_PROFILE);
    GLFWwindow* window = glfwCreateWindow(64, 64, "golden_map_test", nullptr, nullptr);
    ASSERT_NE(window, nullptr) << "no OpenGL 3.3";
    glfwMakeContextCurrent(window);
    gl::load(glfwGetProcAddress);
    // Fewer vectors than were planted: so the residual has something to show that is no rounding error.
    auto planted = convbasis::make_planted<float>({.n = n, .d = 16, .k = 5, .T = 4, .seed = 7});
    analysis_ = std::make_unique<convbasis::HeadAnalysis<float>>(
        convbasis::analyze_head(std::move(planted.head), {.k = 3, .T = 4, .delta = planted.delta / 2.0, .eps = 1e-4}));
  }
  static void TearDownTestSuite() {
    analysis_.reset();
    glfwTerminate();
  }

  static Picture draw(const Golden& golden) {
    gl::MapRenderer renderer;
    gl::Canvas canvas;
    canvas.resize(side, side);
    convbasis::MapTileKey key;
    key.kind = golden.kind;
    key.quantity = golden.quantity;
    std::vector<gl::TileOnMap> tiles;
    for (const convbasis::MapTileKey& visible : visible_tiles(key, golden.window, n)) {
      tiles.push_back({visible, std::make_shared<const convbasis::MapTile>(convbasis::compute_map_tile(*analysis_, visible))});
    }
    EXPECT_TRUE(renderer.draw(canvas, tiles, golden.window, n, {golden.scale, golden.colours, golden.masked, not_a_number}, 100));
    glBindFramebuffer(GL_READ_FRAMEBUFFER, canvas.framebuffer());
    Picture picture = read_framebuffer(side, side);
    glBindFramebuffer(GL_FRAMEBUFFER, 0);
    return picture;
  }

  static std::unique_ptr<convbasis::HeadAnalysis<float>> analysis_;
};

std::unique_ptr<convbasis::HeadAnalysis<float>> GoldenMap::analysis_;

/// Black where both are alike; the difference, brightened, where not.
Picture difference_of(const Picture& a, const Picture& b) {
  Picture difference = a;
  for (std::size_t i = 0; i < a.rgb.size(); ++i) {
    const int distance = std::abs(int{a.rgb[i]} - int{b.rgb[i]});
    difference.rgb[i] = static_cast<std::uint8_t>(distance == 0 ? 0 : std::min(255, 32 + 4 * distance));
  }
  return difference;
}

int differing_pixels(const Picture& a, const Picture& b) {
  int count = 0;
  for (std::size_t i = 0; i + 2 < a.rgb.size(); i += 3) {
    int largest = 0;
    for (std::size_t part = 0; part < 3; ++part) {
      largest = std::max(largest, std::abs(int{a.rgb[i + part]} - int{b.rgb[i + part]}));
    }
    count += static_cast<int>(largest > channel_tolerance);
  }
  return count;
}

TEST_P(GoldenMap, LooksAsItDid) {
  const std::filesystem::path golden_path =
      std::filesystem::path(CONVSCOPE_SOURCE_DIR) / "tests/data/golden" / (std::string(GetParam().name) + ".png");
  const Picture picture = draw(GetParam());
  if (std::getenv("CONVSCOPE_UPDATE_GOLDEN") != nullptr) {
    write_png(golden_path, picture);
    GTEST_SKIP() << golden_path << " was written: look at it";
  }
  const auto golden = read_png(golden_path);
  ASSERT_TRUE(golden) << golden_path << " cannot be read; CONVSCOPE_UPDATE_GOLDEN=1 writes it";
  ASSERT_EQ(golden->width, side);
  ASSERT_EQ(golden->height, side);
  const int differing = differing_pixels(picture, *golden);
  if (differing <= static_cast<int>(pixels_that_may_differ * side * side)) return;
  const std::filesystem::path folder = std::filesystem::path(CONVSCOPE_BINARY_DIR) / "golden";
  std::filesystem::create_directories(folder);
  write_png(folder / (std::string(GetParam().name) + ".png"), picture);
  write_png(folder / (std::string(GetParam().name) + "-difference.png"), difference_of(picture, *golden));
  FAIL() << differing << " of " << side * side << " pixels differ; what was drawn and the difference are in " << folder;
}

TEST(GoldenComparison, NoticesACellThatIsOff) {
  Picture a{side, side, std::vector<std::uint8_t>(std::size_t{3} * side * side, 100)};
  Picture b = a;
  for (std::uint8_t& byte : b.rgb) byte = 100 + channel_tolerance;
  EXPECT_EQ(differing_pixels(a, b), 0);
  b.rgb[3 * 77] = 100 + channel_tolerance + 1;
  EXPECT_EQ(differing_pixels(a, b), 1);
  EXPECT_EQ(difference_of(a, b).rgb[3 * 77], 32 + 4 * 3);
}

const CellWindow whole = fit_window(n);
const Golden pictures[] = {
    {"exact-log-dark",
     MapKind::exact,
     MapQuantity::probability,
     {ScaleKind::log, {1e-6, 1.0}},
     ColourMap::viridis,
     masked_dark,
     whole},
    {"exact-linear-light",
     MapKind::exact,
     MapQuantity::probability,
     {ScaleKind::linear, {0.0, 0.2}},
     ColourMap::magma,
     masked_light,
     whole},
    {"exact-scores-symlog",
     MapKind::exact,
     MapQuantity::score,
     {ScaleKind::symlog, {-40.0, 40.0}},
     ColourMap::cividis,
     masked_dark,
     whole},
    {"approximation-log-dark",
     MapKind::approximation,
     MapQuantity::probability,
     {ScaleKind::log, {1e-6, 1.0}},
     ColourMap::viridis,
     masked_dark,
     whole},
    {"residual-linear-light",
     MapKind::residual,
     MapQuantity::probability,
     {ScaleKind::linear, {-0.02, 0.02}},
     ColourMap::diverging,
     masked_light,
     whole},
    {"exact-close",
     MapKind::exact,
     MapQuantity::probability,
     {ScaleKind::log, {1e-6, 1.0}},
     ColourMap::grey,
     masked_light,
     {120.5, 100.25, 25.6}},
};

INSTANTIATE_TEST_SUITE_P(Maps, GoldenMap, testing::ValuesIn(pictures), [](const auto& golden) {
  std::string name = golden.param.name;
  std::ranges::replace(name, '-', '_');
  return name;
});

}  // namespace
}  // namespace convscope
