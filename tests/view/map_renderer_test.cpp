// The maps' shader against the plain C++ formula, pixel by pixel. Needs a display (a virtual one will do).

#include "gl/map_renderer.h"

#include "view/colour_map.h"
#include "view/colour_scale.h"

#include <GLFW/glfw3.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <vector>

namespace convscope::gl {
namespace {

using convbasis::Index;
using convbasis::MapTile;

constexpr Rgb masked{0.2F, 0.3F, 0.4F};
constexpr Rgb not_a_number{1.0F, 0.0F, 1.0F};
/// Bytes: one for the rounding of the table to bytes, one for the rounding of the blend between two of them, one for the
/// driver's logarithms in single precision.
constexpr int tolerance = 3;

class MapRendererTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    ASSERT_TRUE(glfwInit()) << "no display";
    glfwWindowHint(GLFW_VISIBLE, GLFW_FALSE);
    glfwWindowHint(GLFW_CONTEXT_VERSION_MAJOR, 3);
    glfwWindowHint(GLFW_CONTEXT_VERSION_MINOR, 3);
    glfwWindowHint(GLFW_OPENGL_PROFILE, GLFW_OPENGL_CORE_PROFILE);
    GLFWwindow* window = glfwCreateWindow(64, 64, "map_renderer_test", nullptr, nullptr);
    ASSERT_NE(window, nullptr) << "no OpenGL 3.3";
    glfwMakeContextCurrent(window);
    load(glfwGetProcAddress);
  }
  static void TearDownTestSuite() { glfwTerminate(); }

  /// Draws and reads back; rows from the top.
  void draw(const std::vector<TileOnMap>& tiles, const CellWindow& window, Index n, const MapColours& colours, int side) {
    canvas_.resize(side, side);
    ASSERT_TRUE(renderer_.draw(canvas_, tiles, window, n, colours, 100));
    pixels_.assign(static_cast<std::size_t>(side * side * 4), 0);
    glBindFramebuffer(GL_FRAMEBUFFER, canvas_.framebuffer());
    glReadPixels(0, 0, side, side, GL_RGBA, GL_UNSIGNED_BYTE, pixels_.data());
    glBindFramebuffer(GL_FRAMEBUFFER, 0);
    EXPECT_EQ(glGetError(), static_cast<GLenum>(GL_NO_ERROR));
  }

  void expect_pixel(int x, int y, Rgb expected) {
    const auto at = static_cast<std::size_t>(((canvas_.height() - 1 - y) * canvas_.width() + x) * 4);
    const float parts[] = {expected.r, expected.g, expected.b};
    for (std::size_t part = 0; part < 3; ++part) {
      EXPECT_NEAR(pixels_[at + part], parts[part] * 255.0F, tolerance) << "pixel " << x << ", " << y << ", part " << part;
    }
  }

  MapRenderer renderer_;
  Canvas canvas_;
  std::vector<std::uint8_t> pixels_;
};

std::shared_ptr<MapTile> blank_tile() { return std::make_shared<MapTile>(std::size_t{256} * 256, 0.0F); }

convbasis::MapTileKey key_at(int level, Index row, Index column) {
  convbasis::MapTileKey key;
  key.level = level;
  key.row = row;
  key.column = column;
  return key;
}

TEST_F(MapRendererTest, ColoursAsTheColourScaleSays) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<float> exponent(-6.0F, 1.0F);
  auto values = blank_tile();
  for (float& value : *values) value = std::pow(10.0F, exponent(random)) * (random() % 3 == 0 ? -1.0F : 1.0F);
  const ColourScale scales[] = {
      {ScaleKind::linear, {-0.5, 2.0}}, {ScaleKind::log, {1e-4, 1.0}}, {ScaleKind::symlog, {-1.0, 1.0}}};
  for (const ColourScale& scale : scales) {
    for (const ColourMap map : {ColourMap::viridis, ColourMap::diverging}) {
      draw({{key_at(0, 0, 0), values}}, fit_window(256), 256, {scale, map, masked, not_a_number}, 256);
      const ColourTable table = colour_table(map);
      for (int row = 0; row < 256; row += 5) {
        for (int column = 0; column <= row; column += 3) {
          const auto value = static_cast<double>((*values)[static_cast<std::size_t>(row * 256 + column)]);
          expect_pixel(column, row, colour_at(table, scale.position(value)));
        }
      }
    }
  }
}

TEST_F(MapRendererTest, TellsMaskedFromNotANumber) {
  auto values = blank_tile();
  (*values)[std::size_t{100} * 256 + 50] = std::numeric_limits<float>::quiet_NaN();
  (*values)[std::size_t{100} * 256 + 51] = std::numeric_limits<float>::infinity();
  (*values)[std::size_t{100} * 256 + 101] = 1.0F;  // above the diagonal: whatever stands there is not seen
  const MapColours colours{{ScaleKind::linear, {0.0, 1.0}}, ColourMap::grey, masked, not_a_number};
  draw({{key_at(0, 0, 0), values}}, fit_window(200), 200, colours, 200);
  const Rgb zero = colour_table(ColourMap::grey).front();
  expect_pixel(49, 100, zero);
  expect_pixel(50, 100, not_a_number);
  expect_pixel(51, 100, not_a_number);
  expect_pixel(100, 100, zero);
  expect_pixel(101, 100, masked);
}

TEST_F(MapRendererTest, MagnifiesCellsWithSharpEdges) {
  auto values = blank_tile();
  (*values)[std::size_t{10} * 256 + 4] = 1.0F;
  const MapColours colours{{ScaleKind::linear, {0.0, 1.0}}, ColourMap::grey, masked, not_a_number};
  // Ten pixels a cell, rows 8 to 15 and columns 2 to 9.
  draw({{key_at(0, 0, 0), values}}, {8.0, 2.0, 8.0}, 256, colours, 80);
  const ColourTable table = colour_table(ColourMap::grey);
  for (const int x : {20, 29}) {
    for (const int y : {20, 29}) expect_pixel(x, y, table.back());
  }
  expect_pixel(19, 25, table.front());
  expect_pixel(30, 25, table.front());
  expect_pixel(25, 19, table.front());
  expect_pixel(25, 30, table.front());
}

TEST_F(MapRendererTest, PutsTilesWhereTheirCellsAre) {
  auto coarse = blank_tile();
  std::fill(coarse->begin(), coarse->end(), 0.5F);
  auto fine = blank_tile();
  std::fill(fine->begin(), fine->end(), 1.0F);
  const MapColours colours{{ScaleKind::linear, {0.0, 1.0}}, ColourMap::grey, masked, not_a_number};
  // The coarse tile stands in for the whole 512 x 512 map but for its lower left quarter, which is there.
  draw({{key_at(1, 0, 0), coarse}, {key_at(0, 1, 0), fine}}, fit_window(512), 512, colours, 256);
  const ColourTable table = colour_table(ColourMap::grey);
  expect_pixel(20, 100, colour_at(table, 0.5));
  expect_pixel(200, 220, colour_at(table, 0.5));
  expect_pixel(20, 130, table.back());
  expect_pixel(126, 250, table.back());
  expect_pixel(200, 100, masked);
}

TEST_F(MapRendererTest, LeavesTilesOutWhenUploadsAreUsedUp) {
  const MapColours colours{{ScaleKind::linear, {0.0, 1.0}}, ColourMap::grey, masked, not_a_number};
  const std::vector<TileOnMap> tiles{{key_at(0, 0, 0), blank_tile()}, {key_at(0, 1, 0), blank_tile()}};
  canvas_.resize(64, 64);
  EXPECT_FALSE(renderer_.draw(canvas_, tiles, fit_window(512), 512, colours, 1));
  EXPECT_TRUE(renderer_.draw(canvas_, tiles, fit_window(512), 512, colours, 1)) << "the first is there already";
}

TEST_F(MapRendererTest, RefusesATileOfAnotherSize) {
  const MapColours colours{{ScaleKind::linear, {0.0, 1.0}}, ColourMap::grey, masked, not_a_number};
  const std::vector<TileOnMap> tiles{{key_at(0, 0, 0), std::make_shared<MapTile>(7)}};
  canvas_.resize(64, 64);
  EXPECT_THROW(renderer_.draw(canvas_, tiles, fit_window(256), 256, colours, 1), Error);
}

}  // namespace
}  // namespace convscope::gl
