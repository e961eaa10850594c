// The maps under the mouse: zoom, pan, fit, pin, the menu of a cell.

#include "gui/support/driver.h"

#include <cmath>
#include <cstdio>

namespace convscope {
namespace {

class Maps : public ThroughWindow {
 protected:
  static constexpr const char* exact = "//###exact/map";

  /// A point of a map, in shares of its side from the left and from the top.
  static ImVec2 point(Hand& hand, const char* map, float x, float y) {
    const ImRect area = hand.ItemInfo(map).RectFull;
    return {area.Min.x + x * area.GetWidth(), area.Min.y + y * area.GetHeight()};
  }

  void point_at(Hand& hand, const char* map, float x, float y) {
    const ImVec2 where = point(hand, map, x, y);
    hand.MouseMoveToPos(where);
    hand.Yield();
  }

  void drag(Hand& hand, ImVec2 delta) {
    hand.MouseDown();
    hand.MouseLiftDragThreshold();
    constexpr float steps = 4.0F;
    for (int i = 0; i < static_cast<int>(steps); ++i) {
      const ImVec2 now = ImGui::GetIO().MousePos;
      hand.MouseMoveToPos({now.x + delta.x / steps, now.y + delta.y / steps});
    }
    hand.MouseUp();
    hand.Yield(2);
  }

  MapView& view() { return app_->view(); }
};

TEST_F(Maps, WheelZoomsAboutTheCellUnderTheMouse) {
  drive([&](Hand& hand) {
    for (const char* map : {exact, "//###approximation/map", "//###residual/map"}) {
      view().fit();
      hand.Yield(2);
      point_at(hand, map, 0.3F, 0.7F);
      const double whole = view().window.extent;
      ASSERT_TRUE(view().hovered);
      const CellIndex under = *view().hovered;
      hand.MouseWheelY(4.0F);
      hand.Yield(2);
      EXPECT_LT(view().window.extent, 0.9 * whole) << map;
      EXPECT_EQ(view().hovered, under) << map;
      settle(hand);
      hand.MouseWheelY(-12.0F);
      hand.Yield(2);
      EXPECT_EQ(view().window, fit_window(analysis().n)) << map;
    }
  });
}

TEST_F(Maps, DraggingMovesAllThree) {
  drive([&](Hand& hand) {
    point_at(hand, exact, 0.5F, 0.5F);
    hand.MouseWheelY(6.0F);
    hand.Yield(2);
    const CellWindow before = view().window;
    drag(hand, {-40.0F, -40.0F});
    EXPECT_GT(view().window.row, before.row);
    EXPECT_GT(view().window.column, before.column);
    EXPECT_EQ(view().window.extent, before.extent);
    EXPECT_FALSE(view().pinned) << "a drag is no click";
    settle(hand);
    EXPECT_GT(distinct_colours(look(hand), rectangle("###approximation")), 100U);
  });
}

TEST_F(Maps, DoubleClickShowsTheWholeMap) {
  drive([&](Hand& hand) {
    point_at(hand, exact, 0.4F, 0.6F);
    hand.MouseWheelY(5.0F);
    hand.Yield(2);
    ASSERT_NE(view().window, fit_window(analysis().n));
    hand.MouseDoubleClick();
    hand.Yield(2);
    EXPECT_EQ(view().window, fit_window(analysis().n));
  });
}

TEST_F(Maps, ClickPinsACellAndAnotherLetsGo) {
  drive([&](Hand& hand) {
    point_at(hand, exact, 0.25F, 0.75F);
    ASSERT_TRUE(view().hovered);
    const CellIndex cell = *view().hovered;
    hand.MouseClick();
    hand.Yield(2);
    EXPECT_EQ(view().pinned, cell);
    // Pinned, it is read out from elsewhere too.
    hand.MouseMoveToPos({4.0F, 4.0F});
    hand.Yield(2);
    EXPECT_FALSE(view().hovered);
    ASSERT_TRUE(view().cell);
    EXPECT_EQ(view().cell->exact_probability, convbasis::map_cell(analysis(), cell.row, cell.column).exact_probability);
    ImGui::GetIO().MouseDoubleClickTime = 0.0F;  // two clicks that are far apart
    point_at(hand, exact, 0.25F, 0.75F);
    hand.MouseClick();
    hand.Yield(2);
    EXPECT_FALSE(view().pinned);
  });
}

TEST_F(Maps, MenuOfACellCopiesAndPins) {
  drive([&](Hand& hand) {
    point_at(hand, exact, 0.2F, 0.8F);
    ASSERT_TRUE(view().hovered);
    const CellIndex cell = *view().hovered;
    const auto open_menu = [&] {
      point_at(hand, exact, 0.2F, 0.8F);
      hand.MouseClick(ImGuiMouseButton_Right);
      hand.Yield(2);
    };
    open_menu();
    hand.ItemClick("//$FOCUSED/Copy value");
    double exact_value = NAN;
    double approximate = NAN;
    double difference = NAN;
    ASSERT_EQ(std::sscanf(ImGui::GetClipboardText(), "%lf\t%lf\t%lf", &exact_value, &approximate, &difference), 3);
    const auto expected = convbasis::map_cell(analysis(), cell.row, cell.column);
    EXPECT_NEAR(exact_value, expected.exact_probability, 1e-7);
    EXPECT_NEAR(difference, exact_value - approximate, 1e-7);
    open_menu();
    hand.ItemClick("//$FOCUSED/Copy row");
    EXPECT_GT(std::string(ImGui::GetClipboardText()).size(), 100U);
    open_menu();
    hand.ItemClick("//$FOCUSED/Pin");
    hand.Yield(2);
    EXPECT_EQ(view().pinned, cell);
    view().window = {10.0, 0.0, 30.0};
    hand.Yield(2);
    open_menu();
    hand.ItemClick("//$FOCUSED/Fit");
    hand.Yield(2);
    EXPECT_EQ(view().window, fit_window(analysis().n));
  });
}

TEST_F(Maps, CrosshairIsSeenInAllThree) {
  drive([&](Hand& hand) {
    hand.MouseMoveToPos({4.0F, 4.0F});
    settle(hand);
    const Picture without = look(hand);
    point_at(hand, "//###approximation/map", 0.3F, 0.8F);
    settle(hand);
    const Picture with = look(hand);
    for (const char* name : {"###exact", "###approximation", "###residual"}) {
      const ImVec4 area = rectangle(name);
      std::size_t different = 0;
      for (int y = static_cast<int>(area.y); y < static_cast<int>(area.w); ++y) {
        for (int x = static_cast<int>(area.x); x < static_cast<int>(area.z); ++x) {
          different += static_cast<std::size_t>(!std::equal(with.pixel(x, y), with.pixel(x, y) + 3, without.pixel(x, y)));
        }
      }
      EXPECT_GT(different, 100U) << name;
    }
  });
}

}  // namespace
}  // namespace convscope
